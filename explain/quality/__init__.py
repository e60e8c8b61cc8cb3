"""How far maps can be trusted: faithfulness, sensitivity to the network, stability, beside controls."""
