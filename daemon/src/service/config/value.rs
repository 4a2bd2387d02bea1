//! Converts values of the file.

use std::time::Duration;

use toml::de::DeValue;

use crate::duration;

/// An error in a key of the file.
pub(super) enum Wrong {
    Key,
    Value(String),
}

pub(super) fn text(value: &DeValue<'_>) -> Result<String, Wrong> {
    value.as_str().map(str::to_owned).ok_or_else(|| Wrong::Value("should be a string".into()))
}

pub(super) fn texts(value: &DeValue<'_>) -> Result<Vec<String>, Wrong> {
    let wrong = || Wrong::Value("should be a list of strings".into());
    let list = value.as_array().ok_or_else(wrong)?;
    list.iter().map(|item| text(item.get_ref()).map_err(|_| wrong())).collect()
}

pub(super) fn yes_or_no(value: &DeValue<'_>) -> Result<bool, Wrong> {
    value.as_bool().ok_or_else(|| Wrong::Value("should be true or false".into()))
}

pub(super) fn number<T: TryFrom<i64>>(value: &DeValue<'_>) -> Result<T, Wrong> {
    value
        .as_integer()
        .and_then(|integer| i64::from_str_radix(integer.as_str(), integer.radix()).ok())
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| Wrong::Value("should be a whole number that is not negative".into()))
}

pub(super) fn age(value: &DeValue<'_>) -> Result<Duration, Wrong> {
    text(value).and_then(|text| duration::parse(&text).map_err(Wrong::Value))
}
