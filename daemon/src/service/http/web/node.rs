//! A value of the web configuration file. Every error names the file, the line and the key.

use std::path::{Path, PathBuf};

use saphyr::{MarkedYaml, YamlData};

use super::error::WebError;

/// Text of a PEM file, or where it is.
#[derive(Clone, Debug)]
pub(super) enum Pem {
    Inline(String),
    File(PathBuf),
}

/// A node with what an error says about it.
pub(super) struct Node<'a, 'y> {
    pub(super) file: &'a Path,
    pub(super) key: String,
    pub(super) yaml: &'a MarkedYaml<'y>,
}

impl<'a, 'y> Node<'a, 'y> {
    pub(super) fn wrong(&self, what: impl Into<String>) -> WebError {
        let line = self.yaml.span.start.line();
        WebError::Value { file: self.file.into(), line, key: self.key.clone(), what: what.into() }
    }

    /// Returns the values of a mapping by key. An empty value is an empty mapping.
    pub(super) fn fields(&self) -> Result<Vec<(String, Node<'a, 'y>)>, WebError> {
        let mapping = match &self.yaml.data {
            YamlData::Mapping(mapping) => mapping,
            data if data.is_null() => return Ok(Vec::new()),
            _ => return Err(self.wrong("should be a mapping of keys to values")),
        };
        let mut fields = Vec::new();
        for (key, yaml) in mapping {
            let name = Node { file: self.file, key: self.key.clone(), yaml: key }.text()?;
            let path = if self.key.is_empty() { name.clone() } else { format!("{}.{name}", self.key) };
            fields.push((name, Node { file: self.file, key: path, yaml }));
        }
        Ok(fields)
    }

    pub(super) fn text(&self) -> Result<String, WebError> {
        if let Some(text) = self.yaml.data.as_str() {
            return Ok(text.to_owned());
        }
        if let Some(number) = self.yaml.data.as_integer() {
            return Ok(number.to_string());
        }
        if self.yaml.data.is_null() { Ok(String::new()) } else { Err(self.wrong("should be a string")) }
    }

    pub(super) fn texts(&self) -> Result<Vec<String>, WebError> {
        if self.yaml.data.is_null() {
            return Ok(Vec::new());
        }
        let list = self.yaml.data.as_vec().ok_or_else(|| self.wrong("should be a list of strings"))?;
        list.iter().map(|yaml| Node { file: self.file, key: self.key.clone(), yaml }.text()).collect()
    }

    pub(super) fn truth(&self) -> Result<bool, WebError> {
        self.yaml.data.as_bool().ok_or_else(|| self.wrong("should be true or false"))
    }

    pub(super) fn number(&self) -> Result<u32, WebError> {
        let number = self.yaml.data.as_integer().and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| self.wrong("should be a whole number that is not negative"))
    }

    /// Returns the path that the value names. A relative one starts at the directory of the file.
    pub(super) fn path(&self) -> Result<Option<Pem>, WebError> {
        let text = self.text()?;
        let directory = self.file.parent().unwrap_or(Path::new(""));
        Ok((!text.is_empty()).then(|| Pem::File(directory.join(text))))
    }

    pub(super) fn pem(&self) -> Result<Option<Pem>, WebError> {
        Ok(Some(self.text()?).filter(|text| !text.is_empty()).map(Pem::Inline))
    }

    pub(super) fn unknown(&self, there_are: &[&str]) -> WebError {
        self.wrong(format!("there is no such key; there are: {}", there_are.join(", ")))
    }

    /// Sets a value that two keys can give: the text itself, or a file.
    pub(super) fn once(&self, slot: &mut Option<Pem>, value: Option<Pem>) -> Result<(), WebError> {
        match (slot.is_some(), value) {
            (true, Some(_)) => Err(self.wrong("is given twice: inline and as a file")),
            (false, Some(value)) => {
                *slot = Some(value);
                Ok(())
            }
            (_, None) => Ok(()),
        }
    }
}
