// A weight as f32, from words that hold an f32 each, or two 16-bit floats, the first in the low half.
// FORMAT is fixed when the pipeline is made.

override FORMAT: u32 = 0u; // 0: f32, 1: f16, 2: bf16

fn weight_of(word: u32, i: u32) -> f32 {
    if FORMAT == 0u {
        return bitcast<f32>(word);
    }
    if FORMAT == 1u {
        let both = unpack2x16float(word);
        return select(both.x, both.y, (i & 1u) == 1u);
    }
    // The upper half of an f32.
    return bitcast<f32>(select(word << 16u, word & 0xffff0000u, (i & 1u) == 1u));
}

// The word that element i lies in.
fn word_of(i: u32) -> u32 {
    return select(i >> 1u, i, FORMAT == 0u);
}
