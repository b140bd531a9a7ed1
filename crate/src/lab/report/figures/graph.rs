//! A circuit as a graph: positions from left to right, layers from bottom to top, arrows as thick as what they carry.

use maud::html;

/// A part of a circuit.
pub(super) struct Node {
    /// What it is, e.g. `head 3.2`.
    pub(super) label: String,
    /// Its column: a position.
    pub(super) column: usize,
    /// Its layer, or none for a token, which stands below all layers.
    pub(super) layer: Option<usize>,
}

/// From one node to another, or to the answer.
pub(super) struct Edge {
    /// Where it begins.
    pub(super) from: usize,
    /// Where it ends; none is the answer.
    pub(super) to: Option<usize>,
    /// What it carries, as a share of the most.
    pub(super) share: f64,
    /// What it says.
    pub(super) label: String,
}

/// A circuit.
pub(super) struct Graph {
    pub(super) title: String,
    /// Names of the positions.
    pub(super) columns: Vec<String>,
    pub(super) layers: usize,
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<Edge>,
}

const ROW: f64 = 48.0;
const TOP: f64 = 96.0;
const BOX: (f64, f64) = (66.0, 26.0);
/// Between two boxes side by side, and between columns.
const GAP: f64 = 10.0;
const ALLEY: f64 = 64.0;

impl Graph {
    /// Draws it.
    pub(super) fn draw(&self) -> String {
        // A column is as wide as its fullest layer.
        let beside = |node: &Node| {
            let same = |n: &&Node| (n.column, n.layer) == (node.column, node.layer);
            let before = self.nodes.iter().take_while(|n| !std::ptr::eq(*n, node)).filter(same).count();
            (before, self.nodes.iter().filter(same).count())
        };
        let most = self.nodes.iter().map(|node| beside(node).1).max().unwrap_or(1);
        let column = most as f64 * (BOX.0 + GAP) + ALLEY;
        let width = column * self.columns.len() as f64 + 60.0;
        let ground = TOP + ROW * self.layers as f64 + 30.0;
        let height = ground + 60.0;
        let answer = (30.0 + column * (self.columns.len() as f64 - 0.5), 56.0);
        let place = |node: &Node| {
            let (before, count) = beside(node);
            let shift = (before as f64 - (count as f64 - 1.0) / 2.0) * (BOX.0 + GAP);
            let x = 30.0 + column * (node.column as f64 + 0.5) + shift;
            let y = node.layer.map_or(ground, |layer| TOP + ROW * (self.layers - layer) as f64 - ROW / 2.0);
            (x, y)
        };
        html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {width} {height}"))
                width=(width) height=(height) font-family="sans-serif" font-size="13" role="img" {
                title { (self.title) }
                defs {
                    marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"
                        markerUnits="userSpaceOnUse" orient="auto" { path d="M0 0 L8 4 L0 8 z" fill="#1f5fa8" {} }
                }
                rect width=(width) height=(height) fill="#fff" {}
                text x=(width / 2.0) y="24" text-anchor="middle" font-size="16" { (self.title) }
                @for edge in &self.edges {
                    @let (x0, y0) = place(&self.nodes[edge.from]);
                    @let (x1, y1) = edge.to.map_or((answer.0, answer.1 + 14.0), |to| {
                        let (x, y) = place(&self.nodes[to]);
                        (x, y + BOX.1 / 2.0)
                    });
                    @let y0 = y0 - BOX.1 / 2.0;
                    @let (y2, y3) = (y0 - 24.0, y1 + 24.0);
                    path d=(format!("M{x0:.1} {y0:.1} C{x0:.1} {y2:.1} {x1:.1} {y3:.1} {x1:.1} {y1:.1}"))
                        fill="none" stroke="#1f5fa8" stroke-opacity="0.7" marker-end="url(#tip)"
                        stroke-width=(format!("{:.1}", 1.0 + 5.0 * edge.share.clamp(0.0, 1.0))) {}
                    // Near its beginning, where few arrows meet.
                    text x=(format!("{:.1}", x0 + (x1 - x0) * 0.12 + 6.0)) y=(format!("{:.1}", y0 + (y1 - y0) * 0.3))
                        fill="#444" font-size="11" { (edge.label) }
                }
                @for node in &self.nodes {
                    @let (x, y) = place(node);
                    rect x=(format!("{:.1}", x - BOX.0 / 2.0)) y=(format!("{:.1}", y - BOX.1 / 2.0))
                        width=(BOX.0) height=(BOX.1) rx="5"
                        fill=(if node.layer.is_some() { "#e6eef8" } else { "#f3ead8" }) stroke="#888" {}
                    text x=(x) y=(y + 4.5) text-anchor="middle" { (node.label) }
                }
                text x=(answer.0) y=(answer.1) text-anchor="middle" font-weight="bold" { "logit of B" }
                @for (i, name) in self.columns.iter().enumerate() {
                    text x=(30.0 + column * (i as f64 + 0.5)) y=(ground + 40.0) text-anchor="middle"
                        fill="#555" { (name) }
                }
            }
        }
        .into_string()
    }
}
