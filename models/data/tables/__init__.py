"""Tables of images: their files, columns, and how the images are found."""
