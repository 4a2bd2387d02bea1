//! Messages and codes, declared by the numbers of their fields and values.

/// Implements the encoding of types by the numbers of their fields. A field with `!` is required, one with `?` is an `Option`, one
/// with `*` has its type's default if absent, and one with `+` is a `Vec`, with one field in the message for each element.
macro_rules! message {
    ($type:ty { $($number:literal $field:ident $kind:tt),* $(,)? }) => {
        impl $crate::recording::wire::Plain for $type {
            fn put(&self, field: u32, out: &mut Vec<u8>) {
                $crate::recording::wire::nested(field, out, |out| {
                    $($crate::recording::wire::put!(self.$field, $number, out, $kind);)*
                });
            }
            #[expect(clippy::allow_attributes, reason = "one macro for all kinds of fields")]
            fn get(
                value: $crate::recording::wire::Value<'_>,
            ) -> Result<Self, $crate::recording::wire::Malformed> {
                $(#[allow(unused_mut, reason = "in a message without fields")] let mut $field = $crate::recording::wire::absent!($kind);)*
                for field in $crate::recording::wire::Fields::of(value.bytes()?) {
                    let (number, value) = field?;
                    match number {
                        $($number => $crate::recording::wire::found!($field, value, $kind),)*
                        _ => {}
                    }
                }
                Ok(Self { $($field: $crate::recording::wire::taken!($field, $kind),)* })
            }
        }
    };
}

macro_rules! put {
    ($value:expr, $number:literal, $out:ident, !) => {
        $crate::recording::wire::Plain::put(&$value, $number, $out)
    };
    ($value:expr, $number:literal, $out:ident, ?) => {
        if let Some(value) = &$value {
            $crate::recording::wire::Plain::put(value, $number, $out);
        }
    };
    ($value:expr, $number:literal, $out:ident, *) => {
        if !$crate::recording::wire::is_default(&$value) {
            $crate::recording::wire::Plain::put(&$value, $number, $out);
        }
    };
    ($value:expr, $number:literal, $out:ident, +) => {
        for value in &$value {
            $crate::recording::wire::Plain::put(value, $number, $out);
        }
    };
}

macro_rules! absent {
    (+) => {
        Vec::new()
    };
    ($kind:tt) => {
        None
    };
}

macro_rules! found {
    ($field:ident, $value:ident, +) => {
        $field.push($crate::recording::wire::Plain::get($value)?)
    };
    ($field:ident, $value:ident, $kind:tt) => {
        $field = Some($crate::recording::wire::Plain::get($value)?)
    };
}

macro_rules! taken {
    ($field:ident, !) => {
        $field.ok_or($crate::recording::wire::Malformed::Missing(stringify!($field)))?
    };
    ($field:ident, *) => {
        $field.unwrap_or_default()
    };
    ($field:ident, $kind:tt) => {
        $field
    };
}

pub(in crate::recording) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Implements the encoding of an enum without fields, by the number of each variant.
macro_rules! code {
    ($type:ident { $($variant:ident = $number:literal),* $(,)? }) => {
        impl $crate::recording::wire::Plain for $type {
            fn put(&self, field: u32, out: &mut Vec<u8>) {
                let number = match self { $(Self::$variant => $number,)* };
                $crate::recording::wire::number(field, number, out);
            }
            fn get(
                value: $crate::recording::wire::Value<'_>,
            ) -> Result<Self, $crate::recording::wire::Malformed> {
                match value.number()? {
                    $($number => Ok(Self::$variant),)*
                    other => Err($crate::recording::wire::Malformed::Value(stringify!($type), other)),
                }
            }
        }
    };
}

pub(in crate::recording) use {absent, code, found, message, put, taken};
