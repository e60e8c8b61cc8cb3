"""What people write on the images of a run: notes, corrected labels, answers of reviewers."""
