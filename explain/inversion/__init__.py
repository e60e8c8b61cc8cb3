"""What a layer still knows: pictures rebuilt from its output, by trained decoders or by optimization,
measured over depth."""
