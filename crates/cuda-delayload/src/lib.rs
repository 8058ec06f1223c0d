//! Lets a program that is linked against CUDA start where there is none.
//!
//! candle links NVIDIA's libraries dynamically, and a program that names them in its header does not even start on a
//! machine without them. This crate takes their place at link time: its build script lays empty archives of their names on
//! the link path, and the functions themselves are exported here, each a jump through a slot. A slot first leads to a
//! function that answers with an error code; [`load`] opens the libraries and fills the slots.
//!
//! A function that is used and missing here is an error of the linker, so the tables below are complete or the program
//! is not built. Works on Linux, x86-64 and 64-bit Arm.

mod tables;

use std::ffi::{CStr, CString, c_char, c_void};
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A function's name and where calls of it go.
struct Symbol {
    name: &'static str,
    slot: &'static AtomicPtr<c_void>,
}

/// A library and what is used of it.
struct Library {
    /// What people call it.
    name: &'static str,
    /// Names of its files, the best first.
    files: &'static [&'static str],
    symbols: &'static [Symbol],
}

/// Why CUDA cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No file of the library was found, or none could be opened.
    Library {
        /// What people call it.
        name: &'static str,
        /// The names of its file, the best first.
        files: &'static [&'static str],
        /// Folders that were looked through beside the loader's own.
        folders: Vec<String>,
        /// What the loader said of files that are there and cannot be opened.
        reasons: Vec<String>,
    },
    /// The library lacks a function.
    Symbol {
        /// What people call it.
        library: &'static str,
        /// The file that was opened.
        file: String,
        /// The function.
        symbol: &'static str,
    },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library { name, reasons, .. } if !reasons.is_empty() => {
                write!(f, "{name} cannot be opened: {}", reasons.join("; "))
            }
            Self::Library { name, files, folders, .. } => {
                write!(f, "{name} is missing: no {} in the loader's path", files.join(" or "))?;
                folders.iter().filter(|folder| !folder.is_empty()).try_for_each(|folder| write!(f, ", {folder}"))
            }
            Self::Symbol { library, file, symbol } => {
                write!(f, "{library} is too old or too new: {file} has no {symbol}")
            }
        }
    }
}

impl std::error::Error for Missing {}

/// Folders that are looked through before the loader's own, from this variable, separated by colons.
pub const PATH_VARIABLE: &str = "FORMANT_CUDA_PATH";

/// Opens the CUDA libraries, once; returns the files that were opened. They stay open until the program ends.
///
/// # Errors
/// The first library or function that is missing. Calls of CUDA's functions then go on failing with an error code.
pub fn load() -> Result<&'static [String], &'static Missing> {
    static LOADED: OnceLock<Result<Vec<String>, Missing>> = OnceLock::new();
    LOADED.get_or_init(|| tables::LIBRARIES.iter().map(|l| l.load(&folders())).collect()).as_deref()
}

/// The folders to look in; the empty one stands for the loader's own search.
fn folders() -> Vec<String> {
    let own = std::env::var(PATH_VARIABLE).unwrap_or_default();
    let home = std::env::var("CUDA_HOME").map(|home| format!("{home}/lib64")).unwrap_or_default();
    let named = own.split(':').filter(|folder| !folder.is_empty());
    let usual = [home.as_str(), "/usr/local/cuda/lib64"].into_iter().filter(|folder| !folder.is_empty());
    named.chain([""]).chain(usual).map(str::to_owned).collect()
}

impl Library {
    /// Opens the library and fills its slots, all of them or none.
    fn load(&self, folders: &[String]) -> Result<String, Missing> {
        let (file, handle) = self.open(folders)?;
        let mut found = Vec::with_capacity(self.symbols.len());
        for Symbol { name, slot } in self.symbols {
            let address = find(handle, name);
            if address.is_null() {
                return Err(Missing::Symbol { library: self.name, file, symbol: name });
            }
            found.push((slot, address));
        }
        found.into_iter().for_each(|(slot, address)| slot.store(address, Ordering::Release));
        Ok(file)
    }

    fn open(&self, folders: &[String]) -> Result<(String, *mut c_void), Missing> {
        let mut reasons = Vec::new();
        for folder in folders {
            for file in self.files {
                let path = if folder.is_empty() { (*file).to_owned() } else { format!("{folder}/{file}") };
                match open(&path) {
                    Ok(handle) => return Ok((path, handle)),
                    // What is not there needs no words of its own.
                    Err(reason) if reason.ends_with("No such file or directory") && reason.starts_with(&path) => {}
                    Err(reason) => reasons.push(reason),
                }
            }
        }
        Err(Missing::Library { name: self.name, files: self.files, folders: folders.to_vec(), reasons })
    }
}

/// Opens a library, or says why it cannot be opened.
fn open(path: &str) -> Result<*mut c_void, String> {
    let Ok(name) = CString::new(path) else { return Err(format!("{path:?}: no file's name")) };
    // SAFETY: the name is a C string. Opening a library runs its initialisers: these are NVIDIA's, or whatever the user
    // put in their place.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if !handle.is_null() {
        return Ok(handle);
    }
    // SAFETY: `dlerror` returns null or a C string that lives until this thread's next call of the loader.
    let reason = unsafe {
        let reason: *const c_char = libc::dlerror();
        (!reason.is_null()).then(|| CStr::from_ptr(reason).to_string_lossy().into_owned())
    };
    Err(reason.unwrap_or_else(|| format!("{path}: cannot be opened")))
}

/// The address of a function, or null.
fn find(handle: *mut c_void, name: &str) -> *mut c_void {
    let Ok(name) = CString::new(name) else { return std::ptr::null_mut() };
    // SAFETY: `handle` came from `dlopen` and is never closed; the name is a C string.
    unsafe { libc::dlsym(handle, name.as_ptr()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    static COSINE: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    static NONE: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

    #[test]
    fn a_missing_library_is_named_with_where_it_was_looked_for() {
        let library = Library { name: "cuFoo", files: &["libfoo.so.2", "libfoo.so.1"], symbols: &[] };
        let error = library.load(&["/nowhere".to_owned(), String::new()]).expect_err("there is none");
        let expected = "cuFoo is missing: no libfoo.so.2 or libfoo.so.1 in the loader's path, /nowhere";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_library_that_is_none_is_named_with_the_loaders_reason() {
        let folder = std::env::temp_dir().join(format!("cuda-delayload-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("libfoo.so.1"), "text").expect("a file");
        let library = Library { name: "cuFoo", files: &["libfoo.so.1"], symbols: &[] };
        let error = library.load(&[folder.display().to_string()]).expect_err("it is text").to_string();
        std::fs::remove_dir_all(&folder).expect("it was there");
        assert!(error.starts_with("cuFoo cannot be opened: /") && error.contains("libfoo.so.1: "), "{error}");
    }

    #[test]
    fn a_missing_symbol_is_named_and_leaves_every_slot_as_it_was() {
        static SYMBOLS: [Symbol; 2] = [Symbol { name: "cos", slot: &COSINE }, Symbol { name: "cuCos", slot: &NONE }];
        let library = Library { name: "maths", files: &["libm.so.6"], symbols: &SYMBOLS };
        let error = library.load(&[String::new()]).expect_err("it has no such function");
        assert_eq!(error.to_string(), "maths is too old or too new: libm.so.6 has no cuCos");
        assert!(COSINE.load(Ordering::Acquire).is_null());
    }

    #[test]
    fn slots_are_filled() {
        static SLOT: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
        static SYMBOLS: [Symbol; 1] = [Symbol { name: "cos", slot: &SLOT }];
        let library = Library { name: "maths", files: &["libm.so.6"], symbols: &SYMBOLS };
        assert_eq!(library.load(&[String::new()]), Ok("libm.so.6".to_owned()));
        assert!(!SLOT.load(Ordering::Acquire).is_null());
    }

    #[test]
    fn before_anything_is_loaded_calls_answer_with_an_error() {
        unsafe extern "C" {
            fn cuInit(flags: u32) -> i32;
        }
        // SAFETY: the slot leads to a function that ignores its arguments and returns a number.
        assert_eq!(unsafe { cuInit(0) }, 100, "CUDA_ERROR_NO_DEVICE");
    }
}
