concat(x, '!')
