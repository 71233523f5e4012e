//! The directory of a run, which one run uses at a time.

use std::{
    fs::{self, File, TryLockError},
    io::{ErrorKind, Read as _, Write as _},
    path::Path,
    process,
};

use anyhow::{Result, anyhow, bail};

/// The right to use a directory. It ends with this process, however that ends.
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Makes the directory where it is missing, and takes the right to use it.
    ///
    /// # Errors
    /// Another run uses the directory, or it cannot be written.
    pub fn take(directory: &Path) -> Result<Self> {
        let remedy = "name another directory with --directory";
        let shown = directory.display();
        if directory.exists() && !directory.is_dir() {
            bail!("{shown} is a file; {remedy}");
        }
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => anyhow!("a part of {shown} is a file; {remedy}"),
            _ => anyhow!("failed to write in {shown}: {error}; {remedy}"),
        };
        fs::create_dir_all(directory).map_err(failed)?;
        let file = File::options().read(true).write(true).create(true).truncate(false).open(directory.join("lock"));
        let mut file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                file.read_to_string(&mut owner)?;
                bail!("another cargo local (process {owner}) uses {shown}; stop it, or {remedy}");
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).map_err(failed)?;
        write!(file, "{}", process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}
