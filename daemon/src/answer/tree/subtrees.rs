//! Adds up what the processes of a tree have used, for the subtree of each of them.

use std::collections::HashMap;

use super::Node;

/// Adds to each process the usage of its descendants, and sorts siblings by usage, the greatest first and zombies last.
pub(super) fn add_up(mut nodes: Vec<Node>) -> Vec<Node> {
    // For each depth, the usage of the siblings whose parent is still to come.
    let mut waiting: HashMap<u32, (u64, bool)> = HashMap::new();
    for node in nodes.iter_mut().rev() {
        let (below_ns, is_least) = waiting.remove(&node.depth.saturating_add(1)).unwrap_or_default();
        let Some(spent) = &mut node.spent else { continue };
        spent.subtree_exec_runtime_ns = spent.subtree_exec_runtime_ns.saturating_add(below_ns);
        spent.subtree_at_least |= is_least;
        let (sum, is_least) = waiting.entry(node.depth).or_default();
        *sum = sum.saturating_add(spent.subtree_exec_runtime_ns);
        *is_least |= spent.subtree_at_least;
    }
    heaviest_first(nodes)
}

fn heaviest_first(nodes: Vec<Node>) -> Vec<Node> {
    // The processes without a parent in this tree, then the children of each, by index.
    let mut roots: Vec<usize> = Vec::new();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut path: Vec<usize> = Vec::new();
    for (n, node) in nodes.iter().enumerate() {
        path.truncate(node.depth as usize);
        path.last().and_then(|&parent| children.get_mut(parent)).unwrap_or(&mut roots).push(n);
        path.push(n);
    }
    let weight = |&n: &usize| {
        let node = nodes.get(n);
        let spent =
            node.and_then(|node| node.spent.as_ref()).map_or(0, |spent| spent.subtree_exec_runtime_ns);
        // The last item on the stack is taken first.
        (node.is_some_and(|node| node.state != "zombie"), spent, std::cmp::Reverse(n))
    };
    for siblings in children.iter_mut().chain([&mut roots]) {
        siblings.sort_by_key(weight);
    }
    let mut nodes: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    let mut sorted = Vec::with_capacity(nodes.len());
    let mut open = roots;
    while let Some(n) = open.pop() {
        sorted.extend(nodes.get_mut(n).and_then(Option::take));
        open.extend(children.get_mut(n).map(std::mem::take).unwrap_or_default());
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(depth: u32, pid: u32, own_ns: u64) -> Node {
        let text = format!(
            "{{\"depth\":{depth},\"pid\":{pid},\"kind\":\"process\",\"state\":\"running\",\"threads\":1,\
             \"subtree_exec_runtime_ns\":{own_ns}}}"
        );
        serde_json::from_str(&text).unwrap()
    }

    fn totals(nodes: Vec<Node>) -> Vec<(u32, u32, u64)> {
        let total = |node: &Node| node.spent.as_ref().unwrap().subtree_exec_runtime_ns;
        add_up(nodes).iter().map(|node| (node.depth, node.pid, total(node))).collect()
    }

    #[test]
    fn a_process_has_used_what_all_below_it_have_and_the_heaviest_comes_first() {
        let nodes =
            vec![node(0, 1, 1), node(1, 2, 10), node(1, 3, 5), node(2, 4, 7), node(2, 5, 8), node(0, 6, 100)];
        let sorted = [(0, 6, 100), (0, 1, 31), (1, 3, 20), (2, 5, 8), (2, 4, 7), (1, 2, 10)];
        assert_eq!(totals(nodes), sorted);
        assert_eq!(totals(Vec::new()), []);
    }

    #[test]
    fn equals_keep_their_order_and_zombies_come_last() {
        let mut nodes = vec![node(0, 1, 0), node(1, 2, 9), node(1, 3, 4), node(1, 4, 4), node(1, 5, 9)];
        nodes[1].state = "zombie".into();
        let order: Vec<u32> = totals(nodes).into_iter().map(|(_, pid, _)| pid).collect();
        assert_eq!(order, [1, 5, 3, 4, 2]);
    }

    #[test]
    fn what_is_not_known_of_one_is_not_known_of_all_above_it() {
        let mut nodes = vec![node(0, 1, 1), node(1, 2, 1), node(2, 3, 1), node(1, 4, 1)];
        nodes[2].spent.as_mut().unwrap().subtree_at_least = true;
        let least = |node: &Node| node.spent.as_ref().unwrap().subtree_at_least;
        let mut least: Vec<(u32, bool)> = add_up(nodes).iter().map(|node| (node.pid, least(node))).collect();
        least.sort_unstable();
        assert_eq!(least, [(1, true), (2, true), (3, true), (4, false)]);
    }
}
