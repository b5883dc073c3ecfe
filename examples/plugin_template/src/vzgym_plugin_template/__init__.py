"""Parts for vzgym: a policy, an observation, an action, a reward, tasks and a video back-end."""
