//! Variables that name a file.

use std::{env, fs, io, path::Path};

use super::Env;

/// A file that a variable names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// Its path, as the variable has it.
    pub path: String,
    /// Its bytes; at least one.
    pub bytes: Vec<u8>,
}

impl Env<'_> {
    /// Reads the file that `name` names. Returns `None` where the variable is unset, and where the file cannot be read, which
    /// is a mistake.
    pub fn file(&mut self, name: &str) -> Option<NamedFile> {
        let path = self.optional(name)?;
        if path.contains("-----BEGIN") {
            // Without its value, which may be a private key.
            self.mistake(format!("{name} contains PEM text: expected the path of a file that contains it"));
            return None;
        }
        match read(Path::new(&path)) {
            Ok(bytes) => Some(NamedFile { path, bytes }),
            Err(reason) => {
                self.mistake(format!("{name} is {path:?}: {reason}"));
                None
            }
        }
    }

    /// Reads the text file that `name` names, as [`Env::file`] does. Returns its path and its text.
    pub fn text_file(&mut self, name: &str) -> Option<(String, String)> {
        let NamedFile { path, bytes } = self.file(name)?;
        match text(bytes) {
            Ok(text) => Some((path, text)),
            Err(reason) => {
                self.mistake(format!("{name} is {path:?}: {reason}"));
                None
            }
        }
    }
}

/// Decodes the bytes of a file as UTF-8.
///
/// # Errors
/// Line and column of the first byte that is not UTF-8, with the remedy.
pub fn text(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|error| {
        let (bytes, end) = (error.as_bytes(), error.utf8_error().valid_up_to());
        let valid = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
        let (line, column) =
            valid.split('\n').enumerate().last().map_or((1, 1), |(at, last)| (at + 1, last.chars().count() + 1));
        format!("line {line}, column {column} is not UTF-8 text; save the file as UTF-8")
    })
}

/// Reads a file that has at least one byte.
///
/// # Errors
/// What is wrong with the path or the file, and the remedy.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound if path.starts_with("~") => {
            "there is no such file; write the home directory in full, since ~ is not replaced here".to_owned()
        }
        io::ErrorKind::NotFound if path.is_relative() => {
            let directory = env::current_dir().unwrap_or_default();
            format!("there is no such file in {}; check the path", directory.display())
        }
        io::ErrorKind::NotFound => "there is no such file; check the path".to_owned(),
        io::ErrorKind::NotADirectory => "a part of the path is a file; check the path".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not read the file; change its permissions".to_owned(),
        _ => format!("failed to read the file: {error}"),
    };
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return Err("this is a directory; expected a file".to_owned());
    }
    // Reading a pipe might wait for its writer without an end.
    if !metadata.is_file() {
        return Err("this is a pipe or a device; expected a file".to_owned());
    }
    let bytes = fs::read(path).map_err(failed)?;
    if bytes.is_empty() { Err("the file is empty; check that it was written".to_owned()) } else { Ok(bytes) }
}
