module github.com/authhost/authhost/sdk

go 1.24
