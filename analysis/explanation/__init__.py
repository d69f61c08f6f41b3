"""What a trained network looks at, whether that picture is true, and what its features say of images and labels."""
