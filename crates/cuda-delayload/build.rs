//! Puts empty archives of the CUDA libraries' names on the link path: what is asked of them is found in this crate. And
//! the C++ library as an archive, which candle's kernels need: so that it, too, need not be there where the program runs.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CXX");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    for name in ["cuda", "cudart", "nvrtc", "curand", "cublas", "cublasLt"] {
        std::fs::write(out.join(format!("lib{name}.a")), "!<arch>\n")?;
    }
    if let Some(archive) = cxx_archive() {
        std::fs::copy(archive, out.join("libstdc++.a"))?;
    }
    println!("cargo::rustc-link-search=native={}", out.display());
    Ok(())
}

/// Where the compiler has its library; without one the library is linked as it usually is.
fn cxx_archive() -> Option<PathBuf> {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "g++".to_owned());
    let said = Command::new(compiler).arg("-print-file-name=libstdc++.a").output().ok()?;
    let path = PathBuf::from(String::from_utf8(said.stdout).ok()?.trim());
    // A name without a folder is what it says of a file that it does not have.
    (path.is_absolute() && Path::new(&path).is_file()).then_some(path)
}
