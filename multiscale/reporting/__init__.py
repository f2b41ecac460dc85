"""What a run shows: pictures, maps and the HTML report."""
