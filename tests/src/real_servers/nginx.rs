//! nginx as a proxy that speaks TLS, in front of a server that does not.

use std::{fs, path::Path};

use crate::servers::{Rotel, Server, free, wait_listening};

/// A running nginx.
pub struct Nginx {
    /// The address of each port, in the order of the arguments.
    pub addresses: Vec<String>,
    _running: Server,
}

/// A port of nginx.
pub struct TlsPort<'a> {
    /// The certificate: `NAME.crt` and `NAME.key` in the directory.
    pub certificate: &'a str,
    /// The authority whose clients are accepted, if clients must have a certificate: `NAME.crt`.
    pub client_ca: Option<&'a str>,
}

impl Nginx {
    /// Starts it in front of a collector: OTLP over HTTP and by gRPC on each port.
    #[track_caller]
    pub fn start(directory: &Path, collector: &Rotel, ports: &[TlsPort<'_>]) -> Self {
        let dir = directory.display();
        let addresses: Vec<_> = ports.iter().map(|_| free()).collect();
        let servers = ports.iter().zip(&addresses).map(|(TlsPort { certificate, client_ca }, address)| {
            let verify =
                client_ca.map(|ca| format!("ssl_client_certificate {dir}/{ca}.crt; ssl_verify_client on;"));
            format!(
                "server {{ listen {address} ssl http2; ssl_certificate {dir}/{certificate}.crt; \
                 ssl_certificate_key {dir}/{certificate}.key; {}\n\
                 location / {{ proxy_pass http://{}; }}\n\
                 location /opentelemetry.proto {{ grpc_pass grpc://{}; }} }}\n",
                verify.unwrap_or_default(),
                collector.http,
                collector.grpc
            )
        });
        let servers = servers.collect::<Vec<_>>().concat();
        let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {dir}/nginx-{name};\n"))
            .concat();
        let config = directory.join("nginx.conf");
        let text = format!(
            "daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/nginx.log;\nevents {{}}\nhttp {{ access_log off;\n\
             {places}{servers} }}\n"
        );
        fs::write(&config, text).unwrap_or_else(|error| panic!("{}: {error}", config.display()));
        let log = directory.join("nginx.log");
        let (dir, conf, log_path) =
            (dir.to_string(), config.display().to_string(), log.display().to_string());
        let args = ["-p", &dir, "-e", &log_path, "-c", &conf];
        let running = Server::start("TASKSCOPE_NGINX", "nginx", &args, &log);
        for address in &addresses {
            wait_listening(address);
        }
        Self { addresses, _running: running }
    }
}
