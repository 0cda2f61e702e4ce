// Package circuits finds and judges the parts of a language model that do a task: it patches nodes, scores edges, selects
// circuits, and measures how much of the behaviour they carry.
//
// # Graph
//
// The residual stream of a pre-norm model is a sum of what senders write: the token embedding ("input"), every attention head
// ("a0.h3") and every MLP ("m0"). Receivers read it: the query, key and value input of every head ("a1.h0<q>"), every MLP, and
// the final norm ("logits"). An edge joins a sender to a later receiver: "a0.h3->a1.h0<k>". Grouped key/value heads are
// ungrouped. Order and names are those of EAP-IG. Shapes: b rows, t positions, u senders, v receivers, d residual width.
//
// # Loss
//
// A Metric is a loss: corrupting what the task needs raises it. A score is positive when corrupting the edge raises the loss.
//
// # Task
//
// A Task binds a model, clean and corrupted Pairs and a Metric, and holds what every method needs: the senders' outputs on both,
// and two compiled programs (a masked forward pass, a masked gradient) that serve every method; nothing is compiled again
// while masks change.
package circuits
