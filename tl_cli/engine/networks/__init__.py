"""Networks: loading, graph and cut points, folding, pooling, the classifier; architectures/."""
