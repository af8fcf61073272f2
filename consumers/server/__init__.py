"""A server for one bundle: photos in, pictures out, over HTTP. `ganport consumers server` writes it out."""
