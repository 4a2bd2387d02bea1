//! One definition for a structure's layout and, on the daemon's side, its checked reading and writing.

/// A value with a fixed size on the wire, in host byte order.
///
/// `read` and `write` return `None` if the slice is shorter than [`Wire::SIZE`]; they never panic.
#[cfg(feature = "codec")]
pub trait Wire: Sized {
    /// Size on the wire, in bytes.
    const SIZE: usize;
    /// Reads a value from the start of `bytes`.
    fn read(bytes: &[u8]) -> Option<Self>;
    /// Writes the value to the start of `out`.
    fn write(&self, out: &mut [u8]) -> Option<()>;
}

#[cfg(feature = "codec")]
macro_rules! wire_integer {
    ($($t:ty),*) => {$(
        impl Wire for $t {
            const SIZE: usize = size_of::<$t>();
            fn read(bytes: &[u8]) -> Option<Self> {
                Some(<$t>::from_ne_bytes(*bytes.first_chunk()?))
            }
            fn write(&self, out: &mut [u8]) -> Option<()> {
                *out.first_chunk_mut()? = self.to_ne_bytes();
                Some(())
            }
        }
    )*};
}
#[cfg(feature = "codec")]
wire_integer!(u8, u16, u32, u64, i32);

#[cfg(feature = "codec")]
impl<const N: usize> Wire for [u8; N] {
    const SIZE: usize = N;
    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().copied()
    }
    fn write(&self, out: &mut [u8]) -> Option<()> {
        *out.first_chunk_mut()? = *self;
        Some(())
    }
}

/// Declares a `repr(C)` structure of a given size whose fields fill it without a hole.
///
/// The eBPF side writes the structure in place; a hole would leak uninitialised ring memory to user space and would make
/// the two sides disagree, so both the size and the sum of the fields are asserted.
macro_rules! wire_struct {
    (
        $(#[$meta:meta])*
        pub struct $name:ident = $size:literal {
            $( $(#[$field_meta:meta])* pub $field:ident: $t:ty, )*
        }
    ) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: $t, )*
        }

        const _: () = assert!(size_of::<$name>() == $size, "a wire structure changed its size: raise ABI_VERSION");
        const _: () = assert!(0 $( + size_of::<$t>() )* == $size, "a wire structure has implicit padding");

        #[cfg(feature = "codec")]
        impl $crate::wire::Wire for $name {
            const SIZE: usize = $size;
            fn read(bytes: &[u8]) -> Option<Self> {
                let mut at = 0;
                Some(Self { $( $field: {
                    let value = <$t as $crate::wire::Wire>::read(bytes.get(at..)?)?;
                    at += <$t as $crate::wire::Wire>::SIZE;
                    let _ = at;
                    value
                }, )* })
            }
            fn write(&self, out: &mut [u8]) -> Option<()> {
                let mut at = 0;
                $(
                    $crate::wire::Wire::write(&self.$field, out.get_mut(at..)?)?;
                    at += <$t as $crate::wire::Wire>::SIZE;
                )*
                let _ = at;
                Some(())
            }
        }
    };
}
pub(crate) use wire_struct;
