//! What cargo calls to run a test program built for wasm32: in a headless browser, through its WebDriver.

fn main() -> anyhow::Result<()> {
    wasm_bindgen_cli::wasm_bindgen_test_runner::run_cli_with_args(std::env::args_os())
}
