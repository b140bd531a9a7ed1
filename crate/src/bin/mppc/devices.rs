//! `mppc devices`: the adapters that are there, and the engine that is used.

use mppc::gpu::{Engine, adapters};
use serde_json::json;

use crate::args::Args;
use crate::output::{Outcome, Output};

/// Tells of every adapter, and why this engine is used.
pub(crate) async fn list(args: &Args, out: Output) -> Outcome {
    let all = adapters().await;
    let engine = Engine::open(args.engine).await?;
    let used = engine.report();
    let mut text = String::new();
    for a in &all {
        let mib = |bytes: u64| bytes >> 20;
        text += &format!(
            "{}\n  {} · {} · {}{}\n  bindings to {} MiB, buffers to {} MiB, workgroup memory {} KiB, {} invocations\n  \
             f16 {}, subgroups {}, timestamps {}\n",
            a.name,
            a.backend,
            a.kind,
            a.driver,
            if a.software { " · software" } else { "" },
            mib(a.max_binding),
            mib(a.max_buffer),
            a.workgroup_memory >> 10,
            a.workgroup_invocations,
            yes(a.shader_f16),
            yes(a.subgroups),
            yes(a.timestamps),
        );
    }
    if all.is_empty() {
        text += "no adapter found\n";
    }
    text += &format!("engine: {} ({}), because {}", used.engine, used.name, used.why);
    out.say(&text, &json!({ "adapters": all, "engine": used }))
}

fn yes(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}
