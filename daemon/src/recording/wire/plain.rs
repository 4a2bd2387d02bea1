//! Types that one field can hold.

use std::sync::Arc;

use super::{Fields, Malformed, Value, bytes, nested, number, unzigzag, zigzag};
use crate::lineage::{
    id::{Ktime, TaskKey, TaskRef, Tgid, Tid},
    record::{Comm, Terminal},
};

/// A type that one field can hold.
pub(in crate::recording) trait Plain: Sized {
    fn put(&self, field: u32, out: &mut Vec<u8>);
    fn get(value: Value<'_>) -> Result<Self, Malformed>;
}

macro_rules! unsigned {
    ($($type:ty),*) => {$(
        impl Plain for $type {
            fn put(&self, field: u32, out: &mut Vec<u8>) {
                number(field, u64::from(*self), out);
            }
            fn get(value: Value<'_>) -> Result<Self, Malformed> {
                Self::try_from(value.number()?).map_err(|_| Malformed::Long)
            }
        }
    )*};
}
unsigned!(u16, u32, u64);

macro_rules! signed {
    ($($type:ty),*) => {$(
        impl Plain for $type {
            fn put(&self, field: u32, out: &mut Vec<u8>) {
                number(field, zigzag(i64::from(*self)), out);
            }
            fn get(value: Value<'_>) -> Result<Self, Malformed> {
                Self::try_from(unzigzag(value.number()?)).map_err(|_| Malformed::Long)
            }
        }
    )*};
}
signed!(i32, i64);

macro_rules! wrapped {
    ($($type:ident($inner:ty)),*) => {$(
        impl Plain for $type {
            fn put(&self, field: u32, out: &mut Vec<u8>) {
                self.0.put(field, out);
            }
            fn get(value: Value<'_>) -> Result<Self, Malformed> {
                <$inner>::get(value).map($type)
            }
        }
    )*};
}
wrapped!(Ktime(u64), Tid(u32), Tgid(u32));

impl Plain for bool {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        number(field, u64::from(*self), out);
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        Ok(value.number()? != 0)
    }
}

impl Plain for Vec<u8> {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        bytes(field, self, out);
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        value.bytes().map(<[u8]>::to_vec)
    }
}

impl Plain for String {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        bytes(field, self.as_bytes(), out);
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        Ok(Self::from_utf8_lossy(value.bytes()?).into_owned())
    }
}

impl Plain for Arc<str> {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        bytes(field, self.as_bytes(), out);
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        String::get(value).map(Self::from)
    }
}

impl<T: Plain> Plain for Box<T> {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        (**self).put(field, out);
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        T::get(value).map(Self::new)
    }
}

impl<T: Plain> Plain for Arc<T> {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        (**self).put(field, out);
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        T::get(value).map(Self::new)
    }
}

impl Plain for Comm {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        bytes(field, self.bytes(), out);
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        let mut comm = [0; 16];
        let bytes = value.bytes()?;
        if bytes.len() > comm.len() {
            return Err(Malformed::Value("comm", bytes.len() as u64));
        }
        for (to, from) in comm.iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok(Self::of_kernel(comm))
    }
}

/// A task that may be known not to exist: an empty message stands for that.
impl Plain for Option<TaskRef> {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        match self {
            Some(task) => task.put(field, out),
            None => bytes(field, &[], out),
        }
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        if value.bytes()?.is_empty() { Ok(None) } else { TaskRef::get(value).map(Some) }
    }
}

/// An optional tgid; `None` is encoded as 0.
impl Plain for Option<Tgid> {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        self.map_or(0, |tgid| tgid.0).put(field, out);
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        u32::get(value).map(|tgid| (tgid != 0).then_some(Tgid(tgid)))
    }
}

impl Plain for Terminal {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        bytes(field, self.bytes(), out);
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        let name = Comm::get(value)?;
        Self::of_kernel(name.0).ok_or(Malformed::Value("terminal", name.bytes().len() as u64))
    }
}

/// tid, start, and the tgid unless it is the tid.
impl Plain for TaskRef {
    fn put(&self, field: u32, out: &mut Vec<u8>) {
        nested(field, out, |out| {
            self.key.tid.put(1, out);
            self.key.start.put(2, out);
            if !self.is_leader() {
                self.tgid.put(3, out);
            }
        });
    }

    fn get(value: Value<'_>) -> Result<Self, Malformed> {
        let (mut task, mut start, mut group) = (None, None, None);
        for field in Fields::of(value.bytes()?) {
            match field? {
                (1, value) => task = Some(Tid::get(value)?),
                (2, value) => start = Some(Ktime::get(value)?),
                (3, value) => group = Some(Tgid::get(value)?),
                _ => {}
            }
        }
        let tid = task.ok_or(Malformed::Missing("tid"))?;
        let start = start.ok_or(Malformed::Missing("start"))?;
        Ok(Self { key: TaskKey { tid, start }, tgid: group.unwrap_or(Tgid(tid.0)) })
    }
}
