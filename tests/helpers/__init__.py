"""What tests share: boards, networks, pictures and programs that are put together for them."""
