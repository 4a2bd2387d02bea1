//! Standard input, read by a thread of its own: it may be a pipe, a socket, a terminal or a file.

use std::{
    io::{self, Read as _},
    pin::Pin,
    task::{Context, Poll, ready},
    thread,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    sync::mpsc,
};

/// Bytes of one read.
const PIECE: usize = 64 << 10;
/// Pieces that wait to be taken.
const WAITING: usize = 4;

/// Standard input.
pub(super) struct Input {
    pieces: mpsc::Receiver<io::Result<Vec<u8>>>,
    rest: io::Cursor<Vec<u8>>,
}

impl Input {
    /// Starts the thread, which ends with the input.
    pub(super) fn start() -> io::Result<Self> {
        let (sender, pieces) = mpsc::channel(WAITING);
        thread::Builder::new().name("stdin".into()).spawn(move || read(&sender))?;
        Ok(Self { pieces, rest: io::Cursor::default() })
    }
}

fn read(sender: &mpsc::Sender<io::Result<Vec<u8>>>) {
    let mut buffer = vec![0; PIECE];
    loop {
        let piece = match io::stdin().read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => Ok(buffer.get(..read).unwrap_or_default().to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let is_last = piece.is_err();
        if sender.blocking_send(piece).is_err() || is_last {
            return;
        }
    }
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let room = buffer.initialize_unfilled();
            let copied = self.rest.read(room)?;
            if copied > 0 || room.is_empty() {
                buffer.advance(copied);
                return Poll::Ready(Ok(()));
            }
            match ready!(self.pieces.poll_recv(context)) {
                None => return Poll::Ready(Ok(())),
                Some(piece) => self.rest = io::Cursor::new(piece?),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn pieces_are_read_in_order_and_an_error_is_reported() {
        let (sender, pieces) = mpsc::channel(WAITING);
        let mut input = Input { pieces, rest: io::Cursor::default() };
        sender.send(Ok(b"{\"a\":".to_vec())).await.unwrap();
        sender.send(Ok(b"1}\n".to_vec())).await.unwrap();
        let mut text = [0; 8];
        input.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"{\"a\":1}\n");
        sender.send(Err(io::ErrorKind::BrokenPipe.into())).await.unwrap();
        assert_eq!(input.read(&mut text).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        drop(sender);
        assert_eq!(input.read(&mut text).await.unwrap(), 0);
    }
}
