"""The elementary functions of a process's first forward pass, as exact as those of later ones."""


def settle_vector_math() -> None:
    """Have one thread make the process's first call of an elementary function.

    The library behind PyTorch's cos, exp, tanh and the like on x86 processors (MKL's vector mathematics) looks up
    its routines at the first call; of threads that make it together one may take a routine of 12 bits, for that call
    (pytorch/pytorch#188792). In up to 7 of 100 processes the rotary factors of a first pass were off by 1.5e-4 for half of the
    tokens, which moved logits of Gemma 3 by 0.08. After a call by one thread no function was off in 10,000 processes.
    """
    import torch

    torch.ones(1).exp()
