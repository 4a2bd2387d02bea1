//! Shows the view in a terminal, and handles keys.

use std::io;

use ratatui::{buffer::Buffer, layout::Rect};
use tokio::select;

use super::{
    channels::{Moment, Reply, Request, Wants},
    draw,
    keys::{self, Choice, Over, Then},
    view,
    watcher::Watcher,
};
use crate::{
    answer::text::escape,
    cli::{
        exit::Exit,
        full_screen::{self, App, Due, Ended, Taken, TerminalCaps, input::Key},
        past, terminal,
    },
    view::{Input, View},
};

/// Events after which a frame is due: the view keeps no more.
const EVENTS: usize = 1000;

/// Takes the terminal, and shows the view until a key or a signal ends it.
pub(super) fn run(watcher: Watcher, mouse: bool) -> Result<(), Exit> {
    let taken = Taken::take()?;
    let outcome = show(watcher, mouse, Some(taken));
    outcome.map(drop).map_err(|error| Exit::failed_at("showing the view", error))
}

/// Shows the view until a key or a signal ends it. If `taken` is `None`, the caller has taken the terminal.
pub(super) fn show(mut watcher: Watcher, mouse: bool, taken: Option<Taken>) -> io::Result<Ended> {
    let style = terminal::style();
    let outcome = {
        let Watcher { inputs, wants, requests, replies, runtime, .. } = &mut watcher;
        let mut screen = Screen {
            view: view(),
            choice: Choice { mouse, ..Choice::default() },
            moment: None,
            caps: TerminalCaps { colour: style.colour, unicode: style.unicode },
            channels: Channels { inputs, wants, requests, replies },
        };
        runtime.block_on(full_screen::show(&mut screen))
    };
    // The end of an observation takes a while.
    drop(taken);
    watcher.stop();
    outcome
}

/// The channels of the watcher.
struct Channels<'a> {
    inputs: &'a mut tokio::sync::mpsc::Receiver<Input>,
    wants: &'a tokio::sync::watch::Sender<Wants>,
    requests: &'a tokio::sync::mpsc::Sender<Request>,
    replies: &'a mut tokio::sync::mpsc::Receiver<Reply>,
}

struct Screen<'a> {
    view: View,
    choice: Choice,
    /// The past time that is shown or asked for.
    moment: Option<Moment>,
    caps: TerminalCaps,
    channels: Channels<'a>,
}

impl App for Screen<'_> {
    fn draw(&mut self, area: Rect, out: &mut Buffer) {
        let Self { view, choice, caps, channels, .. } = self;
        let tree = draw::draw(view, choice, *caps, area, out);
        let wants = Wants { paused: view.is_paused(), tree, past: view.past().is_some() };
        channels.wants.send_if_modified(|before| std::mem::replace(before, wants) != wants);
    }

    fn press(&mut self, key: Key) -> bool {
        match keys::press(key, &mut self.view, &mut self.choice) {
            Then::Go => {}
            Then::Quit => return true,
            Then::Explain(selector) => self.ask(Request::Explain(selector)),
            Then::Past(text) => match past::parsed(text.trim()) {
                Ok((_, ms)) => {
                    // A duration such as `5m` counts back from the time at which it was typed.
                    let moment = Moment { utc: past::utc(ms), ms };
                    self.moment = Some(moment.clone());
                    self.ask(Request::Past(moment));
                }
                Err(error) => {
                    self.choice.note = Some(escape(&error).into());
                    self.choice.over = Over::Time(text);
                }
            },
            Then::Present => {
                self.moment = None;
                self.view.leave_past();
            }
        }
        false
    }

    fn has_mouse(&self) -> bool {
        self.choice.mouse
    }

    async fn change(&mut self) -> io::Result<Due> {
        select! {
            biased;
            // Replies come before inputs, because inputs can arrive without end.
            Some(reply) = self.channels.replies.recv() => {
                self.choice.note = None;
                self.take(reply);
                Ok(Due::Now)
            }
            input = self.channels.inputs.recv() => {
                let Some(input) = input else {
                    return Err(io::Error::other("the thread that asks for answers has ended"));
                };
                self.apply(input);
                Ok(Due::Soon)
            }
        }
    }
}

impl Screen<'_> {
    /// Applies an input and those that wait behind it. Events that come in many pieces are applied at once, because each time the
    /// rows are filtered and sorted again.
    fn apply(&mut self, input: Input) {
        let mut events = Vec::new();
        let mut next = Some(input);
        while let Some(input) = next {
            match input {
                Input::Events(more) => events.extend(more),
                other => self.view.apply(other),
            }
            next = if events.len() < EVENTS { self.channels.inputs.try_recv().ok() } else { None };
        }
        if !events.is_empty() {
            self.view.apply(Input::Events(events));
        }
    }

    /// Asks a question. Only one is asked at a time; further ones are ignored.
    fn ask(&mut self, request: Request) {
        self.choice.note = Some(match self.channels.requests.try_send(request) {
            Ok(()) => "asking".into(),
            Err(_) => "the last question is not answered yet".into(),
        });
    }

    fn take(&mut self, reply: Reply) {
        match reply {
            Reply::Story(story) => self.choice.over = Over::Text("Story", story, 0),
            Reply::Past(moment, answer) if self.moment.as_ref() == Some(&moment) => {
                self.view.show_past(*answer);
            }
            // The user has returned to the present meanwhile.
            Reply::Past(..) => {}
            Reply::NoPast(why) => self.choice.note = Some(why.into()),
        }
    }
}
