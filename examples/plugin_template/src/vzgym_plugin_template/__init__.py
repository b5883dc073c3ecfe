"""Components for vzgym: a policy, an observation, an action, a reward, tasks, a task family and a video back-end."""
