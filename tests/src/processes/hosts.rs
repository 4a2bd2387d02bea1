//! Simulated hosts: each address of 127.0.0.0/8 on one port is a host that answers as the test says.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// What a simulated host does after it has read a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Sends these bytes and closes.
    Bytes(Arc<[u8]>),
    /// Sends the bytes, and then zeros for as long as they are read.
    Endless(Arc<[u8]>),
    /// Sends one byte of the text each 100 ms.
    Drip(Arc<[u8]>),
    /// Sends nothing until the client is gone.
    Silent,
}

/// Simulated hosts on one port.
pub struct Hosts {
    port: u16,
    /// The most connections that were open at one time.
    most: Arc<AtomicUsize>,
}

/// Returns an HTTP answer with this status line and body.
#[must_use]
pub fn http(status: &str, body: &str) -> Arc<[u8]> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (head + body).into_bytes().into()
}

impl Hosts {
    /// Starts to listen. `reply` gets the address of the host that is asked, and the request.
    #[must_use]
    #[track_caller]
    pub fn start(reply: impl Fn(Ipv4Addr, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))
            .unwrap_or_else(|error| panic!("listening: {error}"));
        let port = listener.local_addr().unwrap_or_else(|error| panic!("its address: {error}")).port();
        let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (reply, high) = (Arc::new(reply), most.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (reply, open, high) = (reply.clone(), open.clone(), high.clone());
                high.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::spawn(move || {
                    // A client that has what it wants closes the connection.
                    let _ = serve(&stream, &*reply);
                    drop(stream);
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, most }
    }

    /// Returns the port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns the most connections that were open at one time.
    #[must_use]
    pub fn most_connections(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

fn serve(mut stream: &TcpStream, reply: &dyn Fn(Ipv4Addr, &str) -> Reply) -> io::Result<()> {
    let SocketAddr::V4(local) = stream.local_addr()? else { return Ok(()) };
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(piece.get(..read).unwrap_or_default());
    }
    match reply(*local.ip(), &String::from_utf8_lossy(&request)) {
        Reply::Bytes(bytes) => stream.write_all(&bytes),
        Reply::Endless(bytes) => {
            stream.write_all(&bytes)?;
            loop {
                stream.write_all(&[b'0'; 1 << 13])?;
            }
        }
        Reply::Drip(bytes) => {
            for byte in bytes.iter() {
                stream.write_all(&[*byte])?;
                thread::sleep(Duration::from_millis(100));
            }
            Ok(())
        }
        Reply::Silent => io::copy(&mut stream, &mut io::sink()).map(|_| ()),
    }
}
