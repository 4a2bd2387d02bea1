//! The screen of a terminal as a web page, for pictures.

use std::fmt::Write as _;

const HEAD: &str = "<!doctype html><meta charset=utf-8><style>\
    body { margin: 0; background: #16181d; color: #d5d7db } \
    pre { margin: 0; padding: 14px 16px; font: 15px/1.25 'DejaVu Sans Mono', monospace } \
    .c31, .c91 { color: #ff6b68 } .c32, .c92 { color: #8ccf7e } .c33, .c93 { color: #e5c76b } \
    .c34, .c94 { color: #67b0e8 } .c35, .c95 { color: #c47fd5 } .c36, .c96 { color: #6cbfbf } \
    .c30, .c90 { color: #868b94 } .b { font-weight: bold } .u { text-decoration: underline } \
    .r { background: #d5d7db; color: #16181d }</style><pre>";

/// The attributes of text that `top` uses, by the codes of `ESC [ ... m`.
#[derive(Default)]
struct Attributes {
    bold: bool,
    underlined: bool,
    reversed: bool,
    colour: Option<u8>,
}

impl Attributes {
    /// Follows the codes of one sequence.
    fn follow(&mut self, codes: &str) {
        let mut codes = codes.split(';').map(|code| code.parse().unwrap_or(0));
        while let Some(code) = codes.next() {
            match code {
                // One of 256 colours, of which `top` uses the first 16.
                38 => {
                    let number: u8 = codes.nth(1).unwrap_or(7);
                    self.colour = Some(if number < 8 { 30 + number } else { 82 + number.min(15) });
                }
                code => self.set(code),
            }
        }
    }

    fn set(&mut self, code: u8) {
        match code {
            0 => *self = Self::default(),
            1 => self.bold = true,
            4 => self.underlined = true,
            7 => self.reversed = true,
            22 => self.bold = false,
            24 => self.underlined = false,
            27 => self.reversed = false,
            30..=37 | 90..=97 => self.colour = Some(code),
            39 => self.colour = None,
            _ => {}
        }
    }

    fn classes(&self) -> String {
        let flags = [(self.bold, " b"), (self.underlined, " u"), (self.reversed, " r")];
        let mut classes: String =
            flags.iter().filter(|(is_set, _)| *is_set).map(|(_, class)| *class).collect();
        if let Some(colour) = self.colour {
            let _ = write!(classes, " c{colour}");
        }
        classes.trim_start().to_owned()
    }
}

/// Returns a page that looks like this screen, which has attributes as escape sequences (`tmux capture-pane -e`).
#[must_use]
pub fn html(screen: &str) -> String {
    let (mut page, mut attributes) = (HEAD.to_owned(), Attributes::default());
    for (at, piece) in screen.split("\x1b[").enumerate() {
        let text = match piece.split_once('m') {
            Some((codes, text)) if at > 0 => {
                attributes.follow(codes);
                text
            }
            _ => piece,
        };
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let _ = write!(page, "<span class='{}'>{text}</span>", attributes.classes());
    }
    page + "</pre>"
}
