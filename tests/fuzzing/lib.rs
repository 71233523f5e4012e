//! Nothing: the fuzz targets are tests, in `main.rs`.
