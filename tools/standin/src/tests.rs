use std::collections::BTreeMap;

use safetensors::SafeTensors;

use super::*;

fn small(kind: Kind) -> Standin {
    Standin { layers: 1, ..Standin::new(kind) }
}

#[test]
fn the_sizes_are_those_of_the_models() {
    let count = |kind| -> usize {
        Standin::new(kind).parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum()
    };
    // As their model cards have them.
    assert_eq!(count(Kind::Pythia160m), 162_322_944);
    assert_eq!(count(Kind::Mamba130m), 129_135_360);
    assert_eq!(count(Kind::Mamba130mOriginal), 129_135_360);
}

#[test]
fn shards_and_element_types_hold_the_same_values() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen: Vec<BTreeMap<String, Vec<f32>>> = Vec::new();
    for (element, shards) in [(Element::F32, 1), (Element::F16, 1), (Element::Bf16, 3)] {
        let place = dir.path().join(format!("{element:?}"));
        let standin = Standin { element, shards, ..small(Kind::Mamba130m) };
        let written = standin.write(&place).unwrap();
        assert_eq!(written.len(), shards);
        let mut values = BTreeMap::new();
        for file in written {
            let bytes = std::fs::read(place.join(file.name)).unwrap();
            for (name, tensor) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
                let data = tensor.data().chunks(element.bytes()).take(20_000);
                let widened = data.map(|b| match (element, b) {
                    (Element::F32, _) => f32::from_le_bytes(b.try_into().unwrap()),
                    (Element::F16, _) => half::f16::from_le_bytes(b.try_into().unwrap()).to_f32(),
                    (Element::Bf16, _) => half::bf16::from_le_bytes(b.try_into().unwrap()).to_f32(),
                });
                values.insert(name, widened.collect());
            }
        }
        seen.push(values);
    }
    assert_eq!(seen[0].len(), 2 + 10);
    assert!(seen[0] == seen[1] && seen[0] == seen[2]);
}

#[test]
fn nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("m");
    let pickle = Standin { only_pickle: true, ..small(Kind::Pythia160m) };
    assert!(pickle.write(&place).unwrap().is_empty());
    assert!(place.join("pytorch_model.bin").is_file());
    assert!(pickle.write(&place).unwrap_err().to_string().contains("is not empty"));
}

#[test]
fn its_tokenizer_spells_every_text() {
    let bytes = serde_json::to_vec(&tokenizer::tokenizer()).unwrap();
    let tokenizer = tokenizers::Tokenizer::from_bytes(&bytes).unwrap();
    assert_eq!(tokenizer.get_vocab_size(true), 258);
    let text = "a b\n\0\u{7f}é 漢字 👩‍🚀";
    let ids = tokenizer.encode(text, false).unwrap().get_ids().to_vec();
    let expected: Vec<u32> = text.bytes().map(|b| u32::from(b) + 2).collect();
    assert_eq!(ids, expected);
    assert_eq!(tokenizer.decode(&ids, false).unwrap(), text);
    assert_eq!(tokenizer.encode("<|endoftext|>x", false).unwrap().get_ids(), [0, u32::from(b'x') + 2]);
}

#[test]
fn a_cached_directory_is_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let standin = Standin { element: Element::Bf16, ..small(Kind::Mamba130mOriginal) };
    let made = standin.cached(dir.path()).unwrap();
    let sums = std::fs::read_to_string(made.join("SHA256SUMS")).unwrap();
    assert!(sums.ends_with("  model.safetensors\n"), "{sums}");
    let time = || made.join("model.safetensors").metadata().unwrap().modified().unwrap();
    let first = time();
    assert_eq!(standin.cached(dir.path()).unwrap(), made);
    assert_eq!(time(), first);
    assert_ne!(Standin { seed: 1, ..standin }.cached(dir.path()).unwrap(), made);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}
