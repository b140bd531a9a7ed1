//! Libraries that panic on some damaged files. Here that is an error like any other.

#[cfg(target_arch = "wasm32")]
use std::fmt::Display;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::calm;

/// In a browser a panic cannot be caught: there is only the error in words.
#[cfg(target_arch = "wasm32")]
pub(crate) fn calm<T, E: Display>(step: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    step().map_err(|e| e.to_string())
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use std::any::Any;
    use std::cell::Cell;
    use std::fmt::Display;
    use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
    use std::sync::Once;

    thread_local! {
        /// Whether this thread is inside [`calm`].
        static CALM: Cell<bool> = const { Cell::new(false) };
    }

    /// What a step of a library gives, or its error in words. After an error nothing of what the step used may be used
    /// again.
    pub(crate) fn calm<T, E: Display>(step: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
        static HOOK: Once = Once::new();
        // A panic is reported before it can be caught. Those of others are reported as before.
        HOOK.call_once(|| {
            let report = take_hook();
            set_hook(Box::new(move |panic| {
                if !CALM.get() {
                    report(panic);
                }
            }));
        });
        CALM.set(true);
        let result = catch_unwind(AssertUnwindSafe(step));
        CALM.set(false);
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(e)) => Err(e.to_string().trim_start_matches("Parquet error: ").to_owned()),
            Err(panic) => Err(words(&*panic)),
        }
    }

    fn words(panic: &(dyn Any + Send)) -> String {
        let told = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        format!("its bytes make no sense ({})", told.unwrap_or("no reason is given"))
    }
}
