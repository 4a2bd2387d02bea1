//! Reads files that may be endless, up to a limit.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// Returns the content of a file if it has no more than `most` bytes; a longer file is an error.
pub fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let expected = file.metadata().map_or(0, |metadata| metadata.len());
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(most).min(most));
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {most} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_refused() {
        let error = read(Path::new("/dev/zero"), 4096).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(!read(Path::new("/proc/self/stat"), 4096).unwrap().is_empty());
    }

    #[test]
    fn a_file_of_just_that_many_bytes_is_read() {
        let path = std::env::temp_dir().join(format!("taskscope-bounded-{}", std::process::id()));
        std::fs::write(&path, b"1234").unwrap();
        let (fits, is_long) = (read(&path, 4), read(&path, 3));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(fits.unwrap(), b"1234");
        assert!(is_long.is_err());
    }
}
