//! The table of tools. A tool is a path of the API: its arguments are the path's parameters, as openapi.json describes them.

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

use crate::cli::query::QueryPath;
use crate::service::http::OPENAPI;

/// Names and paths. `{pid}` in a path is an argument.
const TOOLS: [(&str, &str); 9] = [
    ("status", "/v1/status"),
    ("zombies", "/v1/zombies"),
    ("deaths", "/v1/deaths"),
    ("explain", "/v1/explain/{pid}"),
    ("tree", "/v1/tree"),
    ("limits", "/v1/limits"),
    ("blocked", "/v1/blocked"),
    ("leaks", "/v1/leaks"),
    ("stops", "/v1/stops"),
];

/// openapi.json does not describe a tool.
#[derive(Debug, Error)]
pub(super) enum ToolError {
    /// It is no description of an API.
    #[error("openapi.json: {0}")]
    Json(#[from] serde_json::Error),
    /// A path is missing.
    #[error("openapi.json does not describe {0}")]
    NoPath(&'static str),
}

/// An argument of a call that cannot be sent to the daemon.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum ArgumentError {
    /// No parameter has this name.
    #[error("`{name}` is no argument of this tool: it takes {takes}")]
    Unknown {
        /// The name.
        name: String,
        /// All names.
        takes: String,
    },
    /// The value has another type.
    #[error("`{name}` must be a string, a number or a boolean")]
    Type {
        /// The name.
        name: String,
    },
    /// A part of the path is missing or has characters that no id has.
    #[error("`{0}` is missing, or is neither a pid nor an entity id")]
    Path(&'static str),
}

/// A tool, and how its calls become requests.
pub(super) struct ApiTool {
    pub(super) tool: Tool,
    path: &'static str,
    parameters: Vec<String>,
}

#[derive(Deserialize)]
struct Operation {
    summary: String,
    description: Option<String>,
    #[serde(default)]
    parameters: Vec<Parameter>,
}

#[derive(Deserialize)]
struct Parameter {
    name: String,
    description: String,
    schema: JsonObject,
    #[serde(default)]
    required: bool,
}

/// Returns all tools.
pub(super) fn all() -> Result<Vec<ApiTool>, ToolError> {
    let api: Value = serde_json::from_str(OPENAPI)?;
    TOOLS.iter().map(|&(name, path)| ApiTool::of(&api, name, path)).collect()
}

impl ApiTool {
    fn of(api: &Value, name: &'static str, path: &'static str) -> Result<Self, ToolError> {
        let described = api.get("paths").and_then(|paths| paths.get(path)?.get("get"));
        let Operation { summary, description, parameters } =
            Operation::deserialize(described.ok_or(ToolError::NoPath(path))?)?;
        let mut properties = JsonObject::new();
        let required: Vec<&str> =
            parameters.iter().filter(|it| it.required).map(|it| it.name.as_str()).collect();
        for Parameter { name, description, schema, .. } in &parameters {
            let mut property = schema.clone();
            property.insert("description".into(), description.as_str().into());
            // JSON Schema has a list of examples.
            if let Some(example) = property.remove("example") {
                property.insert("examples".into(), json!([example]));
            }
            properties.insert(name.clone(), property.into());
        }
        let mut input = JsonObject::new();
        input.insert("type".into(), "object".into());
        input.insert("properties".into(), properties.into());
        input.insert("required".into(), required.into());
        input.insert("additionalProperties".into(), false.into());
        let hints = ToolAnnotations::new().read_only(true).destructive(false).open_world(false);
        let text = match description {
            Some(description) => format!("{summary}. {description}"),
            None => summary,
        };
        let tool = Tool::new(name, text, input).with_annotations(hints);
        Ok(Self { tool, path, parameters: parameters.into_iter().map(|it| it.name).collect() })
    }

    /// Returns the request for a call with these arguments.
    pub(super) fn request(&self, arguments: &JsonObject) -> Result<String, ArgumentError> {
        const IN_PATH: &str = "pid";
        let mut path = self.path.to_owned();
        let placeholder = format!("{{{IN_PATH}}}");
        let has_placeholder = path.contains(&placeholder);
        if has_placeholder {
            let id = arguments.get(IN_PATH).map(text).unwrap_or_default();
            let id = id
                .filter(|id| !id.is_empty() && id.chars().all(|it| it.is_ascii_alphanumeric() || it == '-'));
            path = path.replace(&placeholder, &id.ok_or(ArgumentError::Path(IN_PATH))?);
        }
        let mut query = QueryPath::new(&path);
        for (name, value) in arguments {
            if !self.parameters.contains(name) {
                let takes = match self.parameters.as_slice() {
                    [] => "none".to_owned(),
                    parameters => parameters.join(", "),
                };
                return Err(ArgumentError::Unknown { name: name.clone(), takes });
            }
            if has_placeholder && name == IN_PATH || value.is_null() {
                continue;
            }
            query.add(name, text(value).ok_or_else(|| ArgumentError::Type { name: name.clone() })?);
        }
        Ok(query.into_path())
    }
}

/// Returns a value as the API's text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is_true) => Some(is_true.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str) -> ApiTool {
        all().unwrap().into_iter().find(|it| it.tool.name == name).unwrap()
    }

    fn request(name: &str, arguments: &Value) -> Result<String, ArgumentError> {
        tool(name).request(arguments.as_object().unwrap())
    }

    #[test]
    fn arguments_become_a_query_or_a_part_of_the_path() {
        assert_eq!(request("status", &json!({})).unwrap(), "/v1/status");
        assert_eq!(
            request("zombies", &json!({"unit": "a&b*", "min_age": "10s"})).unwrap(),
            "/v1/zombies?min_age=10s&unit=a%26b*"
        );
        assert_eq!(request("explain", &json!({"pid": 7})).unwrap(), "/v1/explain/7");
        assert_eq!(request("explain", &json!({"pid": "0badcafe-7-8"})).unwrap(), "/v1/explain/0badcafe-7-8");
        assert_eq!(request("limits", &json!({"pid": "7"})).unwrap(), "/v1/limits?pid=7");
        assert_eq!(request("tree", &json!({"kernel": true, "at": null})).unwrap(), "/v1/tree?kernel=true");
    }

    #[test]
    fn other_arguments_are_refused_by_name() {
        let unknown = request("zombies", &json!({"min-age": "1s"})).unwrap_err().to_string();
        assert_eq!(unknown, "`min-age` is no argument of this tool: it takes min_age, unit, at");
        assert!(request("leaks", &json!({"x": 1})).unwrap_err().to_string().ends_with("it takes none"));
        assert_eq!(request("explain", &json!({})), Err(ArgumentError::Path("pid")));
        assert_eq!(request("explain", &json!({"pid": "../status"})), Err(ArgumentError::Path("pid")));
        assert_eq!(
            request("deaths", &json!({"comm": ["a"]})),
            Err(ArgumentError::Type { name: "comm".into() })
        );
    }

    #[test]
    fn every_tool_is_described_with_its_arguments_and_only_reads() {
        for ApiTool { tool, .. } in all().unwrap() {
            assert!(tool.description.as_ref().is_some_and(|it| it.len() > 10), "{tool:?}");
            assert_eq!(tool.annotations.as_ref().unwrap().read_only_hint, Some(true), "{tool:?}");
            for (name, property) in tool.input_schema["properties"].as_object().unwrap() {
                assert!(property["description"].is_string() && property["type"].is_string(), "{name}");
            }
        }
        assert_eq!(tool("explain").tool.input_schema["required"], json!(["pid"]));
    }
}
