//! Figures of circuit experiments: what each intervention changes, and the circuit as a graph.

use super::effects::{Effect, effects};
use super::graph::{Edge, Graph, Node};
use super::heat_map::HeatMap;
use crate::lab::circuit::{CircuitCell, CircuitName, CircuitReport};

/// Parts that do less than this share of what the strongest does are left out of the graph.
const LEAST: f64 = 0.15;
/// Parts of a kind in the graph, at most.
const MOST: usize = 4;

/// The change of B's logit by every intervention.
pub(in crate::lab::report) fn circuit(report: &CircuitReport) -> String {
    let title = format!("{}, {}", report.model, report.experiment.name());
    if report.experiment.of_heads() {
        return heads(report);
    }
    let bar = |cell: &CircuitCell| {
        let change = cell.change.logit;
        let interval = change.interval.map(|i| (i.low, i.high));
        Effect { name: cell.label.clone(), value: change.mean, interval }
    };
    let bars: Vec<Effect> = report.cells.iter().map(bar).collect();
    effects(&title, "change of B's logit", &bars)
}

fn heads(report: &CircuitReport) -> String {
    let heads = report.cells.iter().map(|cell| cell.unit + 1).max().unwrap_or(0);
    let layers = report.cells.iter().map(|cell| cell.layer + 1).max().unwrap_or(0);
    let mut values = vec![vec![None; heads]; layers];
    for cell in &report.cells {
        // What is lost: the more, the darker.
        values[cell.layer][cell.unit] = Some(-cell.change.logit.mean);
    }
    let (rows, columns): (Vec<usize>, Vec<usize>) = ((0..layers).collect(), (0..heads).collect());
    let name = format!("heads of {}: logit of B lost", report.model);
    HeatMap { rows: ("layers", &rows), columns: (&name, &columns), values: &values }.draw()
}

/// The circuits that a model's experiments show, each with the name of its file: that of its heads, that of its states,
/// or both; none if the experiments that they take are not there.
pub(in crate::lab::report) fn circuits(reports: &[CircuitReport]) -> Vec<(&'static str, String)> {
    const NAME: &str = "circuit.svg";
    let find = |name| reports.iter().find(|report| report.experiment == name);
    let [to_logit, to_head] = [CircuitName::HeadToLogit, CircuitName::HeadToHead].map(find);
    let heads = to_logit.zip(to_head).map(|(to_logit, to_head)| of_heads(to_logit, to_head).draw());
    let [states, writes, taps] =
        [CircuitName::StateToLogit, CircuitName::WritePosition, CircuitName::ConvTaps].map(find);
    let states = states.zip(writes).zip(taps);
    let states = states.map(|((states, writes), taps)| of_states(states, writes, taps).draw());
    match (heads, states) {
        (Some(heads), Some(states)) => vec![(NAME, heads), ("circuit-states.svg", states)],
        (one, other) => one.or(other).map(|graph| (NAME, graph)).into_iter().collect(),
    }
}

/// The cells that do most, strongest first, with their share of the strongest.
fn strongest<'a>(cells: impl Iterator<Item = &'a CircuitCell>) -> Vec<(&'a CircuitCell, f64)> {
    let mut all: Vec<&CircuitCell> = cells.filter(|cell| cell.change.logit.mean < 0.0).collect();
    all.sort_by(|x, y| x.change.logit.mean.total_cmp(&y.change.logit.mean));
    let most = all.first().map_or(0.0, |cell| cell.change.logit.mean);
    let share = |cell: &'a CircuitCell| (cell, cell.change.logit.mean / most);
    all.into_iter().map(share).filter(|(_, share)| *share >= LEAST).take(MOST).collect()
}

fn change(cell: &CircuitCell) -> String {
    format!("{:+.2}", cell.change.logit.mean)
}

fn token(label: &str, column: usize) -> Node {
    Node { label: label.to_owned(), column, layer: None }
}

fn of_heads(to_logit: &CircuitReport, to_head: &CircuitReport) -> Graph {
    let columns = ["A", "B", "A again"].map(str::to_owned).to_vec();
    let mut nodes = vec![token("A", 0), token("B", 1), token("A", 2)];
    let mut edges = Vec::new();
    let receiver = to_head.settings.receiver;
    let mut receiver_node = None;
    for (cell, share) in strongest(to_logit.cells.iter()) {
        let at = nodes.len();
        nodes.push(Node { label: cell.label.clone(), column: 2, layer: Some(cell.layer) });
        edges.push(Edge { from: at, to: None, share, label: change(cell) });
        if receiver == Some([cell.layer, cell.unit]) {
            edges.push(Edge { from: 2, to: Some(at), share: 0.2, label: String::new() });
            receiver_node = Some(at);
        }
    }
    for (cell, share) in strongest(to_head.cells.iter()) {
        let at = nodes.len();
        nodes.push(Node { label: cell.label.clone(), column: 1, layer: Some(cell.layer) });
        edges.push(Edge { from: 0, to: Some(at), share: 0.2, label: String::new() });
        edges.push(Edge { from: 1, to: Some(at), share: 0.2, label: String::new() });
        edges.extend(receiver_node.map(|to| Edge { from: at, to: Some(to), share, label: change(cell) }));
    }
    Graph {
        title: format!("Induction in {}", to_logit.model),
        columns,
        layers: to_logit.layers,
        nodes,
        edges,
    }
}

fn of_states(states: &CircuitReport, writes: &CircuitReport, taps: &CircuitReport) -> Graph {
    let columns = ["A", "B", "B+1", "A again"].map(str::to_owned).to_vec();
    let mut nodes = vec![token("A", 0), token("B", 1), token("next", 2), token("A", 3)];
    let mut edges = Vec::new();
    let mut written_in = Vec::new();
    for (cell, share) in strongest(states.cells.iter()) {
        let at = nodes.len();
        nodes.push(Node { label: format!("state {}", cell.layer), column: 3, layer: Some(cell.layer) });
        edges.push(Edge { from: at, to: None, share, label: change(cell) });
        written_in.push((cell.layer, at));
    }
    // Where the layer that was taken apart writes: 1 is B, 2 the position behind.
    for (cell, share) in strongest(writes.cells.iter().filter(|cell| (1..=2).contains(&cell.unit))) {
        let at = nodes.len();
        nodes.push(Node {
            label: format!("write {}", cell.layer),
            column: cell.unit,
            layer: Some(cell.layer),
        });
        let state = written_in.iter().find(|(layer, _)| *layer == cell.layer);
        edges.extend(state.map(|(_, to)| Edge { from: at, to: Some(*to), share, label: change(cell) }));
        edges.push(Edge { from: cell.unit, to: Some(at), share: 0.2, label: String::new() });
    }
    // Convolutions that carry one position on: at B from A, behind B from B.
    for (place, from, column) in [("at B, tap −1", 0, 1), ("at B+1, tap −1", 1, 2)] {
        for (cell, share) in
            strongest(taps.cells.iter().filter(|cell| cell.label.ends_with(place))).into_iter().take(2)
        {
            let written = nodes.iter().position(|node| {
                node.column == column && node.layer == Some(cell.layer) && node.label.starts_with("write")
            });
            let at = written.unwrap_or_else(|| {
                nodes.push(Node { label: format!("conv {}", cell.layer), column, layer: Some(cell.layer) });
                // What it carries goes into the state of its layer.
                let state = written_in.iter().find(|(layer, _)| *layer == cell.layer);
                let from = nodes.len() - 1;
                edges.extend(state.map(|(_, to)| Edge { from, to: Some(*to), share, label: String::new() }));
                from
            });
            edges.push(Edge { from, to: Some(at), share, label: change(cell) });
        }
    }
    Graph { title: format!("Induction in {}", states.model), columns, layers: states.layers, nodes, edges }
}
