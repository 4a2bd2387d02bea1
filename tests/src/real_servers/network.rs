//! Hosts of a test in network namespaces: each has an address of its own on one bridge. The machine's own network is not touched.

use std::{
    net::Ipv4Addr,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

/// The network namespaces, removed when this is dropped.
pub struct Network {
    /// The namespace of the bridge, from which hosts are asked.
    hub: String,
    nodes: Vec<String>,
}

/// Runs ip(8); returns what it prints about an error.
fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(args).output().map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

/// Runs ip(8), which must succeed.
#[track_caller]
fn ip_ok(args: &str) {
    let done = ip(&args.split(' ').collect::<Vec<_>>());
    done.unwrap_or_else(|error| panic!("{error}"));
}

impl Network {
    /// Creates `nodes` hosts, or returns why this machine cannot have any.
    pub fn start(nodes: usize) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("ts{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut network = Self { hub: format!("{prefix}-hub"), nodes: Vec::new() };
        ip(&["netns", "add", &network.hub])?;
        let hub = &network.hub;
        ip(&["-n", hub, "link", "add", "bridge", "type", "bridge"])?;
        ip_ok(&format!("-n {hub} addr add 10.77.0.1/16 dev bridge"));
        ip_ok(&format!("-n {hub} link set bridge up"));
        // The hub reaches its own address through `lo`.
        ip_ok(&format!("-n {hub} link set lo up"));
        for number in 0..nodes {
            let node = format!("{prefix}-{number}");
            ip(&["netns", "add", &node])?;
            // Noted at once, so that it is removed even if the next step fails.
            network.nodes.push(node);
            let (hub, node) = (&network.hub, &network.nodes[number]);
            let port = format!("port{number}");
            let veth =
                ["-n", hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", node];
            ip(&veth)?;
            ip_ok(&format!("-n {hub} link set {port} master bridge up"));
            ip_ok(&format!("-n {node} addr add {}/16 dev eth0", Self::address(number)));
            ip_ok(&format!("-n {node} link set eth0 up"));
        }
        Ok(network)
    }

    /// Returns the address of a host.
    #[must_use]
    pub fn address(number: usize) -> Ipv4Addr {
        let offset = u32::try_from(number).unwrap_or(u32::MAX).saturating_add(2);
        Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 77, 0, 0)).saturating_add(offset))
    }

    /// Returns a command that runs on a host.
    #[must_use]
    pub fn on(&self, number: usize, command: &Command) -> Command {
        within(&self.nodes[number], command)
    }

    /// Returns a command that runs where all hosts can be reached.
    #[must_use]
    pub fn beside(&self, command: &Command) -> Command {
        within(&self.hub, command)
    }

    /// Takes the link of a host down silently: packets to the host are lost, without an error.
    #[track_caller]
    pub fn partition(&self, number: usize) {
        let (hub, node) = (&self.hub, &self.nodes[number]);
        // Otherwise ARP fails after three seconds, and the kernel reports that the host is unreachable.
        let address = Self::address(number);
        ip_ok(&format!("-n {hub} neigh replace {address} lladdr 02:00:00:00:00:01 dev bridge nud permanent"));
        ip_ok(&format!("-n {node} link set eth0 down"));
    }

    /// Takes the link of a host down, with the error that a router reports: no route to host.
    #[track_caller]
    pub fn cut(&self, number: usize) {
        let (hub, node) = (&self.hub, &self.nodes[number]);
        ip_ok(&format!("-n {hub} route add unreachable {}/32", Self::address(number)));
        ip_ok(&format!("-n {node} link set eth0 down"));
    }

    /// Repairs the link of a host, after [`Self::partition`] or [`Self::cut`].
    #[track_caller]
    pub fn heal(&self, number: usize) {
        let (hub, node, address) = (&self.hub, &self.nodes[number], Self::address(number));
        ip_ok(&format!("-n {node} link set eth0 up"));
        // Only one of the two exists.
        let _ = ip(&["-n", hub, "neigh", "del", &address.to_string(), "dev", "bridge"]);
        let _ = ip(&["-n", hub, "route", "del", "unreachable", &format!("{address}/32")]);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in self.nodes.iter().chain([&self.hub]) {
            // A namespace that was not made cannot be removed.
            let _ = ip(&["netns", "del", name]);
        }
    }
}

/// Returns a command in a network namespace. nsenter(1) keeps all mounts; `ip netns exec` would mount another /sys.
fn within(namespace: &str, command: &Command) -> Command {
    let mut inner = Command::new("nsenter");
    inner.arg(format!("--net={}", Path::new("/run/netns").join(namespace).display())).arg("--");
    inner.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => inner.env(name, value),
            None => inner.env_remove(name),
        };
    }
    inner
}
