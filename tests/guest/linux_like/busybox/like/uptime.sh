uptime | sed 's/up.*load/load/'
