//! Compiles the kernels, with the feature `cuda`; without it there is nothing to do.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files in `kernels/` that hold kernels.
const SOURCES: [&str; 5] = ["cluster", "ctc", "layers", "optim", "recurrent"];

/// Machine code for data-centre GPUs since 2020, and text that the driver translates for all others.
const ARCHITECTURES: [&str; 2] = ["arch=compute_80,code=[sm_80,compute_80]", "arch=compute_90,code=sm_90"];

/// The same for kernels that need clusters.
const WITH_CLUSTERS: [&str; 1] = ["arch=compute_90,code=[sm_90,compute_90]"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return Ok(());
    }
    println!("cargo::rerun-if-changed=kernels");
    println!("cargo::rerun-if-env-changed=NVCC");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").ok_or("no CARGO_MANIFEST_DIR")?);
    // It finds a compiler wherever there is one, and says what to do where there is none.
    let nvcc = std::env::var_os("NVCC").map_or_else(|| root.join("scripts/nvcc"), PathBuf::from);
    std::thread::scope(|scope| {
        let jobs = SOURCES.map(|name| scope.spawn(|| compile(&nvcc, &root, &out, name)));
        jobs.into_iter().try_for_each(|job| job.join().map_err(|_| "a thread panicked".to_owned())?)
    })?;
    Ok(())
}

/// `kernels/NAME.cu` to `OUT_DIR/NAME.fatbin`.
fn compile(nvcc: &Path, root: &Path, out: &Path, name: &str) -> Result<(), String> {
    let mut command = Command::new(nvcc);
    // Numbers too small to be normal are zero: to handle them costs three instructions for each exponential.
    command.args(["--fatbin", "--compress-mode=size", "-O3", "-std=c++17", "--ftz=true", "--Werror=all-warnings"]);
    let architectures = if name == "cluster" { &WITH_CLUSTERS[..] } else { &ARCHITECTURES };
    command.args(architectures.iter().flat_map(|architecture| ["-gencode", architecture]));
    command.arg("-o").arg(out.join(format!("{name}.fatbin"))).arg(root.join("kernels").join(format!("{name}.cu")));
    let output = command.output().map_err(|e| format!("{}: {e}", nvcc.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("kernels/{name}.cu was not compiled: {}", said.trim()))
}
