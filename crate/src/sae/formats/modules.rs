//! Modules of transformers, by the names that they have in the library, as hooks.

/// The hook where a module's output is seen: `gpt_neox.layers.3` is the residual stream after block 3. `None` where no
/// hook shows just that: fused projections, norms of GPT-NeoX (the hook is before their weight), the logits. Names may
/// lack the prefix, as in a model without its head.
pub(crate) fn module_hook(module: &str) -> Option<String> {
    let prefixes = ["gpt_neox.", "backbone."];
    let module = prefixes.iter().find_map(|prefix| module.strip_prefix(prefix)).unwrap_or(module);
    match module {
        // Dropout does nothing in a model that is not trained.
        "embed_in" | "emb_dropout" | "embeddings" => return Some("hook_embed".to_owned()),
        "norm_f" => return Some("hook_norm".to_owned()),
        _ => {}
    }
    let rest = module.strip_prefix("layers.")?;
    let (layer, part) = rest.split_once('.').unwrap_or((rest, ""));
    let layer: usize = layer.parse().ok()?;
    let point = match part {
        "" => "hook_resid_post",
        "mlp" | "mlp.dense_4h_to_h" | "post_mlp_dropout" => "hook_mlp_out",
        "mlp.dense_h_to_4h" => "mlp.hook_pre",
        "mlp.act" => "mlp.hook_post",
        "attention" | "attn" | "attention.dense" | "post_attention_dropout" => "hook_attn_out",
        "mixer" | "mixer.out_proj" => "hook_out_proj",
        "mixer.dt_proj" => "hook_delta_2",
        "norm" => "hook_normalized_input",
        _ => return None,
    };
    Some(format!("blocks.{layer}.{point}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_hooks_where_they_show_the_same() {
        for (module, want) in [
            ("layers.3", Some("blocks.3.hook_resid_post")),
            ("gpt_neox.layers.3", Some("blocks.3.hook_resid_post")),
            ("backbone.layers.11", Some("blocks.11.hook_resid_post")),
            ("gpt_neox.layers.2.mlp", Some("blocks.2.hook_mlp_out")),
            ("gpt_neox.layers.2.attention", Some("blocks.2.hook_attn_out")),
            ("gpt_neox.layers.2.mlp.act", Some("blocks.2.mlp.hook_post")),
            ("backbone.layers.7.mixer", Some("blocks.7.hook_out_proj")),
            ("backbone.layers.7.norm", Some("blocks.7.hook_normalized_input")),
            ("gpt_neox.embed_in", Some("hook_embed")),
            ("backbone.embeddings", Some("hook_embed")),
            ("backbone.norm_f", Some("hook_norm")),
            // After the norm's weight, which the hook is before.
            ("gpt_neox.layers.2.input_layernorm", None),
            ("gpt_neox.final_layer_norm", None),
            ("gpt_neox.layers.2.attention.query_key_value", None),
            ("backbone.layers.7.mixer.in_proj", None),
            ("embed_out", None),
            ("lm_head", None),
            // Of other architectures.
            ("model.layers.3", None),
            ("transformer.h.3", None),
            ("layers.x", None),
            ("layers.99999999999999999999", None),
            ("layers", None),
            ("", None),
        ] {
            assert_eq!(module_hook(module).as_deref(), want, "{module}");
        }
    }
}
