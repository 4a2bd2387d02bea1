//! Conditions on processes that several subcommands take.

use super::query::QueryPath;

/// Which processes are meant.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Conditions {
    /// Only processes with this name; * and ? as in a shell
    #[arg(long, value_name = "GLOB")]
    pub(in crate::cli) comm: Vec<String>,
    /// Only processes in this systemd unit; * and ? as in a shell
    #[arg(long, value_name = "GLOB")]
    pub(in crate::cli) unit: Vec<String>,
    /// Only processes in this container, by the beginning of its id
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) container: Vec<String>,
}

impl Conditions {
    pub(in crate::cli) fn add_to(&self, query: &mut QueryPath) {
        query.add_all("comm", &self.comm).add_all("unit", &self.unit).add_all("container", &self.container);
    }
}
