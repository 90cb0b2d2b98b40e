module door

go 1.24

require github.com/authhost/authhost/sdk v0.0.0

replace github.com/authhost/authhost/sdk => ../../../sdk
