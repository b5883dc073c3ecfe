"""Components for vzgym: a policy, observation, action, reward, tool, tasks, a task family and a video back-end."""
