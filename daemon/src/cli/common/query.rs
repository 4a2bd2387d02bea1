//! Paths of the daemon's API with a query.

use std::fmt::Display;

/// A path with a query.
pub(in crate::cli) struct QueryPath {
    path: String,
    has_keys: bool,
}

impl QueryPath {
    pub(in crate::cli) fn new(path: &str) -> Self {
        Self { path: path.to_owned(), has_keys: false }
    }

    /// Adds a key. The value may be any text.
    pub(in crate::cli) fn add(&mut self, key: &str, value: impl Display) -> &mut Self {
        self.path.push(if self.has_keys { '&' } else { '?' });
        self.has_keys = true;
        self.path.push_str(key);
        self.path.push('=');
        self.path.extend(form_urlencoded::byte_serialize(value.to_string().as_bytes()));
        self
    }

    /// Adds the same key with each of these values.
    pub(in crate::cli) fn add_all<T: Display>(&mut self, key: &str, values: &[T]) -> &mut Self {
        for value in values {
            self.add(key, value);
        }
        self
    }

    pub(in crate::cli) fn into_path(self) -> String {
        self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded_and_keys_are_joined() {
        let mut query = QueryPath::new("/v1/lives");
        query.add("pid", 7).add_all("comm", &["a b&c=*/ü,1", "x"]);
        assert_eq!(query.into_path(), "/v1/lives?pid=7&comm=a+b%26c%3D*%2F%C3%BC%2C1&comm=x");
        assert_eq!(QueryPath::new("/v1/tree").into_path(), "/v1/tree");
    }
}
