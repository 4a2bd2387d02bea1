//! `--schema` of commands that print lines of JSON.

use clap::ValueEnum;

use super::query::QueryPath;
use crate::export::schema::Schema;

/// The name of a schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum SchemaName {
    /// taskscope's own, with every fact
    #[default]
    Native,
    /// The Elastic Common Schema: nested objects; what it has no field for is below `taskscope`
    Ecs,
    /// OpenTelemetry's semantic conventions: flat attributes; what they have no name for begins with `taskscope.`
    Otel,
}

impl From<SchemaName> for Schema {
    fn from(name: SchemaName) -> Self {
        match name {
            SchemaName::Native => Self::Native,
            SchemaName::Ecs => Self::Ecs,
            SchemaName::Otel => Self::Otel,
        }
    }
}

impl SchemaName {
    /// Adds it to a query, unless it is the default, which older daemons know too.
    pub(in crate::cli) fn add_to(self, query: &mut QueryPath) {
        if self != Self::Native {
            query.add("schema", Schema::from(self).name());
        }
    }
}
