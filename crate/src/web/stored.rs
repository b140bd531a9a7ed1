//! Files of the browser's storage, read where they lie.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use js_sys::Function;
use wasm_bindgen::JsValue;
use web_sys::{FileSystemReadWriteOptions, FileSystemSyncAccessHandle};

use crate::checkpoint::ReadAt;

/// Reading is told at most this often (milliseconds).
const TELL_EVERY: f64 = 100.0;

/// Counts the bytes that are read of a model and tells the page now and then.
#[derive(Default)]
pub(super) struct Reading {
    tell: Option<Function>,
    bytes: Cell<f64>,
    told: Cell<f64>,
}

impl Reading {
    pub(super) fn new(tell: Option<Function>) -> Self {
        Self { tell, ..Self::default() }
    }

    fn add(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes as f64);
        let now = js_sys::Date::now();
        if now - self.told.get() >= TELL_EVERY
            && let Some(tell) = &self.tell
        {
            self.told.set(now);
            // What the page's callback throws is the page's to see in its console; the loading goes on.
            let _ = tell.call1(&JsValue::NULL, &self.bytes.get().into());
        }
    }
}

/// A file behind a sync access handle, which only a Worker can have.
pub(super) struct StoredFile {
    handle: FileSystemSyncAccessHandle,
    size: u64,
    reading: Rc<Reading>,
}

impl StoredFile {
    pub(super) fn new(handle: FileSystemSyncAccessHandle, reading: Rc<Reading>) -> io::Result<Self> {
        let size = handle.get_size().map_err(|e| error(&e))? as u64;
        Ok(Self { handle, size, reading })
    }
}

impl ReadAt for StoredFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let options = FileSystemReadWriteOptions::new();
        let mut done = 0;
        while done < into.len() {
            options.set_at((offset + done as u64) as f64);
            let read = self.handle.read_with_u8_array_and_options(&mut into[done..], &options);
            match read.map_err(|e| error(&e))? as usize {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => done += n,
            }
        }
        self.reading.add(done);
        Ok(())
    }
}

fn error(thrown: &JsValue) -> io::Error {
    let message = js_sys::Reflect::get(thrown, &"message".into()).ok().and_then(|m| m.as_string());
    io::Error::other(message.unwrap_or_else(|| "the storage failed".to_owned()))
}
