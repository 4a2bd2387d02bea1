//! The queries that an operator makes during a fault, and checks of their answers.

use serde_json::Value;

/// A function that returns what is wrong with the body of an answer.
type Check = Box<dyn Fn(&str) -> Result<(), String>>;

/// A query, with a check of its answer.
pub struct Question {
    /// Its name in the table.
    pub name: &'static str,
    /// Its path.
    pub path: String,
    /// Checks the body of a 200.
    check: Check,
}

impl Question {
    /// Returns what is wrong with an answer.
    pub fn judge(&self, status: u16, body: &str) -> Result<(), String> {
        if status != 200 {
            return Err(format!("{} is answered with {status}: {}", self.path, start_of(body)));
        }
        (self.check)(body).map_err(|wrong| format!("{}: {wrong}", self.path))
    }
}

/// Returns the start of an answer, for a message.
fn start_of(text: &str) -> String {
    const MOST: usize = 400;
    text.chars().take(MOST).collect()
}

fn json(body: &str) -> Result<Value, String> {
    serde_json::from_str(body).map_err(|error| format!("no JSON: {error}: {}", start_of(body)))
}

fn demand(holds: bool, what: &str, answer: &Value) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{what}: {}", start_of(&answer.to_string()))) }
}

/// Returns the four queries about a parent that has not waited for its child.
#[must_use]
pub fn questions(parent: i64, child: i64) -> [Question; 4] {
    let question = |name, path: String, check| Question { name, path, check };
    [
        question(
            "zombies",
            "/v1/zombies".into(),
            Box::new(move |body: &str| {
                let answer = json(body)?;
                let owes = |it: &Value| it["process"]["pid"] == parent;
                let reported = answer["parents"].as_array().is_some_and(|parents| parents.iter().any(owes));
                demand(reported, &format!("{parent}, which owes a wait, is not reported"), &answer)
            }),
        ),
        question(
            "explain",
            format!("/v1/explain/{child}"),
            Box::new(move |body: &str| {
                let answer = json(body)?;
                // The answer has a verdict, or the missing facts.
                let verdict = answer["verdict"]["code"].as_str().is_some_and(|code| !code.is_empty());
                demand(verdict && answer["process"]["pid"] == child, "no verdict", &answer)
            }),
        ),
        question(
            "status",
            "/v1/status".into(),
            Box::new(|body: &str| {
                let answer = json(body)?;
                demand(answer["records_lost"].is_u64() && answer["zombies"].is_u64(), "no status", &answer)
            }),
        ),
        question(
            "metrics",
            "/metrics".into(),
            Box::new(|body: &str| {
                let has = |name: &str| body.lines().any(|line| line.starts_with(name));
                match ["taskscope_tasks{", "taskscope_records_dropped_total{"]
                    .into_iter()
                    .find(|name| !has(name))
                {
                    None => Ok(()),
                    Some(name) => Err(format!("no {name}")),
                }
            }),
        ),
    ]
}
