"""Classes of the data and outputs of the network: names, their order, and how the two are matched."""
