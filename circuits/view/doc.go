// Package view draws graphs of nodes and scored links: a one-file interactive page, a static SVG, Graphviz dot and GraphML.
//
// # Overview
//
//	g := view.OfCircuit("induction in gpt2", graph, scores, circuit)
//	err := view.WriteHTML(w, g)
//
// A Graph is what is drawn, whatever it comes from. The page holds every link with its score and shows the n of largest |score|,
// pruned to nodes that something enters and something leaves, by the same rule as TopN and Prune of package circuits; a slider sets n.
// It refers to nothing outside itself, and equal graphs give equal bytes.
package view
